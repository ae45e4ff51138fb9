import { expect, it } from 'vitest'

import type { Replica } from '../api/instances'
import { speedsBetween, tokensOf } from './speed'

it('tells tokens a second of the replicas that both answers know', () => {
  const before = { at: 1_000, tokens: { a: 10, gone: 5 } }
  const after = { at: 3_000, tokens: { a: 40, new: 7 } }
  expect(speedsBetween(before, after)).toEqual({ a: 15 })
  expect(speedsBetween(after, after)).toEqual({})
})

it('counts what a model writes or, where it writes none, what it reads', () => {
  const replica = (id: string, stats?: Replica['stats']) =>
    ({ replica_model_uid: id, stats }) as Replica
  const replicas = [replica('a', { prompt_tokens: 3, completion_tokens: 5 }), replica('b', {}), replica('c')]
  expect(tokensOf('LLM', replicas)).toEqual({ a: 5, b: 0 })
  expect(tokensOf('rerank', replicas)).toEqual({ a: 3, b: 0 })
  expect(tokensOf('image', replicas)).toEqual({})
})
