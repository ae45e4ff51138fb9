import { expect, it } from 'vitest'

import type { EngineAnswers } from '../api/catalogue'
import { AUTOMATIC, choicesOf, choose, refusalsOf } from './cascade'

const ANSWERS: EngineAnswers = {
  vllm: 'the package vllm is not installed',
  llama: [
    { model_format: 'ggufv2', model_size_in_billions: 7, quantizations: ['Q4_0', 'Q8_0'] },
    { model_format: 'ggufv2', model_size_in_billions: '0_5', quantizations: ['Q8_0'] },
  ],
  torch: [{ model_format: 'pytorch', model_size_in_billions: 7, quantizations: ['none'] }],
}

it('offers everything that some engine runs, sizes in order', () => {
  expect(choicesOf(ANSWERS, AUTOMATIC)).toEqual({
    engine: ['llama', 'torch'],
    format: ['ggufv2', 'pytorch'],
    size: ['0.5', '7'],
    quantization: ['Q4_0', 'Q8_0', 'none'],
  })
})

it('offers at each step what goes with the steps before', () => {
  const choices = choicesOf(ANSWERS, { ...AUTOMATIC, format: 'ggufv2', size: '0.5' })
  expect(choices.engine).toEqual(['llama', 'torch'])
  expect(choices.size).toEqual(['0.5', '7'])
  expect(choices.quantization).toEqual(['Q8_0'])
})

it('undoes later choices that do not go with a new one, and keeps the others', () => {
  const chosen = { engine: 'llama', format: 'ggufv2', size: '7', quantization: 'Q4_0' }
  expect(choose(ANSWERS, chosen, 'engine', 'torch')).toEqual({
    engine: 'torch',
    format: '',
    size: '7',
    quantization: '',
  })
  expect(choose(ANSWERS, chosen, 'size', '')).toEqual({ ...chosen, size: '' })
})

it('tells why the other engines cannot', () => {
  expect(refusalsOf(ANSWERS)).toEqual([['vllm', 'the package vllm is not installed']])
})
