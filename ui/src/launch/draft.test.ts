import { expect, it } from 'vitest'

import { emptyDraft, toLaunch } from './draft'

it('leaves out what it leaves open', () => {
  expect(toLaunch('m', emptyDraft(), [])).toEqual({ model_name: 'm' })
})

it('says everything that was chosen', () => {
  const draft = {
    form: { engine: 'e', format: 'f', size: '0.5', quantization: 'q' },
    nGpu: 'none',
    uid: ' mine ',
    replica: 2,
    fields: { priority: '3' },
  }
  expect(toLaunch('m', draft, [])).toEqual({
    model_name: 'm',
    model_uid: 'mine',
    model_engine: 'e',
    model_format: 'f',
    model_size_in_billions: '0.5',
    quantization: 'q',
    n_gpu: null,
    replica: 2,
    priority: 3,
  })
  expect(toLaunch('m', { ...draft, nGpu: '2' }, [])).toMatchObject({ n_gpu: 2 })
})
