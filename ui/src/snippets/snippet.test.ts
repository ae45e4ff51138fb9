import { expect, it } from 'vitest'

import { exampleOf } from './example'
import { shortened } from './shortened'
import { snippet } from './snippet'

const BASE = 'http://host/below/v1'
const CHAT = exampleOf('LLM', "it's", ['chat'])
const HEARD = exampleOf('audio', 'whisper', ['audio2text'])
const SPOKEN = exampleOf('audio', 'voice', ['text2audio'])

it('writes a request of curl that a shell takes whole', () => {
  expect(snippet('curl', BASE, CHAT)).toBe(`curl http://host/below/v1/chat/completions \\
  -H "Authorization: Bearer $XINFERENCE_API_KEY" \\
  -H 'Content-Type: application/json' \\
  -d '{
  "model": "it'\\''s",
  "messages": [
    {
      "role": "user",
      "content": "Hello!"
    }
  ]
}'`)
})

it('writes JSON as Python has it', () => {
  const body = { model: 'm', on: true, off: false, none: null, list: [1, 'a'] }
  const program = snippet('Python', BASE, { path: 'p', body })
  for (const part of ['"on": True', '"off": False', '"none": None', '"list": [1, "a"]']) {
    expect(program).toContain(part)
  }
})

it('reads streams as they come', () => {
  const request = { path: 'chat/completions', body: { model: 'm', stream: true } }
  expect(snippet('curl', BASE, request)).toContain('curl -N ')
  expect(snippet('Python', BASE, request)).toContain('stream=True,\n)')
  expect(snippet('JavaScript', BASE, request)).toContain('for await (const part of answer.body)')
})

it('sends files as a form, and writes what is no JSON to a file', () => {
  expect(snippet('curl', BASE, HEARD)).toContain('--form-string model=whisper \\\n  -F file=@speech.wav')
  expect(snippet('Python', BASE, HEARD)).toContain('files={"file": open("speech.wav", "rb")}')
  expect(snippet('JavaScript', BASE, HEARD)).toContain('await readFile("speech.wav")')
  expect(snippet('curl', BASE, SPOKEN)).toContain('-o speech.wav')
  expect(snippet('Python', BASE, SPOKEN)).toContain('file.write(answer.content)')
  expect(snippet('JavaScript', BASE, SPOKEN)).toContain('await writeFile("speech.wav"')
})

it('has an example for each type', () => {
  expect(exampleOf('embedding', 'm', []).path).toBe('embeddings')
  expect(exampleOf('rerank', 'm', []).path).toBe('rerank')
  expect(exampleOf('image', 'm', []).path).toBe('images/generations')
  expect(exampleOf('LLM', 'm', ['generate']).path).toBe('completions')
})

it('cuts long texts short, wherever they are', () => {
  const long = 'x'.repeat(500)
  expect(shortened({ a: [{ b: long }], c: 'short', d: 1, e: null })).toEqual({
    a: [{ b: `${'x'.repeat(120)}…` }],
    c: 'short',
    d: 1,
    e: null,
  })
})
