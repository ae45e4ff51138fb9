import { expect, it } from 'vitest'

import { speedsBetween } from './speed'

it('tells tokens a second of the replicas that both answers know', () => {
  const before = { at: 1_000, tokens: { a: 10, gone: 5 } }
  const after = { at: 3_000, tokens: { a: 40, new: 7 } }
  expect(speedsBetween(before, after)).toEqual({ a: 15 })
  expect(speedsBetween(after, after)).toEqual({})
})
