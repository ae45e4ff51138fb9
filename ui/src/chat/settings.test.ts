import { expect, it } from 'vitest'

import { DEFAULTS, parseTools, toBody } from './settings'

const HELLO = { kind: 'user', text: 'hello', images: [] } as const

it('sends nothing that was not set', () => {
  expect(toBody('m', DEFAULTS, [], { ...HELLO, images: [] })).toEqual({
    model: 'm',
    messages: [{ role: 'user', content: 'hello' }],
    stream: true,
    stream_options: { include_usage: true },
  })
})

it('sends what was set', () => {
  const settings = {
    system: 'Be brief.',
    sampling: { temperature: 0, seed: 7 },
    stop: 'END\n\nSTOP',
    thinking: 'false' as const,
    tools: '[{"type": "function"}]',
  }
  expect(toBody('m', settings, [], { ...HELLO, images: ['data:x'] })).toMatchObject({
    messages: [
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: 'data:x' } },
          { type: 'text', text: 'hello' },
        ],
      },
    ],
    temperature: 0,
    seed: 7,
    stop: ['END', 'STOP'],
    enable_thinking: false,
    tools: [{ type: 'function' }],
  })
})

it('tells tools that are none from no tools', () => {
  expect(parseTools(' ')).toEqual([])
  expect(parseTools('{}')).toBeNull()
  expect(parseTools('[')).toBeNull()
})
