import { expect, it } from 'vitest'

import { newTurn, toMessages, tokensPerSecond } from './turn'
import type { Turn } from './turn'

const turn = (changes: Partial<Turn>): Turn => ({ ...newTurn(1, 'm', 'question'), ...changes })

it('sends the system prompt first and the new message last', () => {
  const turns = [turn({ state: 'done', answer: 'answer' })]
  expect(toMessages('be brief', turns, 'next')).toEqual([
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
  expect(toMessages(' ', turns, 'next').map(({ content }) => content)).toEqual([
    'question',
    'half',
    'next',
  ])
})

it('counts speed from the first token on', () => {
  const usage = { prompt_tokens: 1, completion_tokens: 11 }
  expect(tokensPerSecond(turn({ usage, firstTokenMs: 500, totalMs: 1500 }))).toBe(10)
  expect(tokensPerSecond(turn({ usage: null, firstTokenMs: 500, totalMs: 1500 }))).toBeNull()
})
