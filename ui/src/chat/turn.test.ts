import { expect, it } from 'vitest'

import { newTurn, toMessages, tokensPerSecond, withCalls } from './turn'
import type { Input, Turn } from './turn'

const said = (text: string): Input => ({ kind: 'user', text, images: [] })
const turn = (changes: Partial<Turn>): Turn => ({
  ...newTurn(1, 'm', said('question')),
  ...changes,
})

it('sends the system prompt first and the new message last', () => {
  const turns = [turn({ state: 'done', answer: 'answer' })]
  expect(toMessages('be brief', turns, said('next'))).toEqual([
    { role: 'system', content: 'be brief' },
    { role: 'user', content: 'question' },
    { role: 'assistant', content: 'answer' },
    { role: 'user', content: 'next' },
  ])
})

it('keeps a stopped answer, and leaves out failed and empty ones', () => {
  const turns = [
    turn({ state: 'stopped', answer: 'half' }),
    turn({ state: 'stopped', answer: '' }),
    turn({ state: 'failed', answer: 'broken off' }),
  ]
  expect(toMessages(' ', turns, said('next')).map(({ content }) => content)).toEqual([
    'question',
    'half',
    'next',
  ])
})

it('counts speed from the first token on', () => {
  const usage = { prompt_tokens: 1, completion_tokens: 11 }
  expect(tokensPerSecond(turn({ usage, firstTokenMs: 500, totalMs: 1500 }))).toBe(10)
  expect(tokensPerSecond(turn({ usage, firstTokenMs: 1099, totalMs: 1100 }))).toBe(10)
  expect(tokensPerSecond(turn({ usage: null, firstTokenMs: 500, totalMs: 1500 }))).toBeNull()
})

it('says what was called, and then what that gave', () => {
  const call = { id: 'c', type: 'function' as const, function: { name: 'f', arguments: '{}' } }
  const turns = [turn({ state: 'done', calls: [call] })]
  const results = { kind: 'results' as const, results: [{ id: 'c', name: 'f', content: '5' }] }
  expect(toMessages('', turns, results)).toEqual([
    { role: 'user', content: 'question' },
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', tool_call_id: 'c', content: '5' },
  ])
})

it('puts calls together from their pieces', () => {
  let calls = withCalls([], [{ index: 0, id: 'c', function: { name: 'f', arguments: '{"a"' } }])
  calls = withCalls(calls, [{ index: 0, function: { arguments: ':1}' } }, { index: 1, id: 'd' }])
  expect(calls.map((call) => [call.id, call.function.name, call.function.arguments])).toEqual([
    ['c', 'f', '{"a":1}'],
    ['d', '', ''],
  ])
})
