import { expect, it } from 'vitest'

import { DEFAULTS, toFields } from './image-settings'

it('says nothing of what is left to the model', () => {
  expect(toFields(DEFAULTS, false)).toEqual({ n: 1, size: 'auto' })
})

it('says what was set, and of a given picture only where there is one', () => {
  const settings = {
    ...DEFAULTS,
    count: 2,
    negative: 'a hat',
    sampler: 'euler',
    numbers: { seed: 0, strength: 0.5 },
  }
  const said = { n: 2, size: 'auto', negative_prompt: 'a hat', seed: 0, sampler_name: 'euler' }
  expect(toFields(settings, false)).toEqual(said)
  expect(toFields(settings, true)).toEqual({ ...said, strength: 0.5 })
})
