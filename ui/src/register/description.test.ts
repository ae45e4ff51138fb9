import { expect, it } from 'vitest'

import { parseDescription, toFields, withFields } from './description'

const TOLD = {
  version: 2,
  model_name: 'mine',
  model_description: 'A model',
  model_lang: ['en', 'zh'],
  model_ability: ['chat'],
  context_length: 2048,
  stop: ['END'],
  model_specs: [
    {
      model_format: 'ggufv2',
      model_size_in_billions: '0_5',
      quantization: 'F16',
      model_uri: 'file:///m.gguf',
      model_revision: null,
    },
  ],
}

it('gives back what it was told, also what the form does not show', () => {
  expect(withFields('LLM', TOLD, toFields(TOLD))).toEqual(TOLD)
})

it('tells paths from repositories', () => {
  const fields = { ...toFields(TOLD), uri: 'Qwen/Qwen3-0.6B', size: '' }
  expect(withFields('LLM', TOLD, fields).model_specs).toEqual([
    { model_format: 'ggufv2', quantization: 'F16', model_id: 'Qwen/Qwen3-0.6B', model_revision: null },
  ])
})

it('says what each type says', () => {
  const fields = { ...toFields({}), name: 'e', languages: 'en', context: '512', dimensions: '64' }
  expect(withFields('embedding', {}, fields)).toEqual({
    model_name: 'e',
    language: ['en'],
    max_tokens: 512,
    dimensions: 64,
    model_specs: [{}],
  })
})

it('takes objects alone', () => {
  expect(parseDescription('{"a": 1}')).toEqual({ a: 1 })
  expect(parseDescription('[1]')).toBeNull()
  expect(parseDescription('{')).toBeNull()
})
