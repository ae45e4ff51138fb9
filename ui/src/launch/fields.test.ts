import { expect, it } from 'vitest'

import type { EngineOption } from '../api/catalogue'
import { FieldError, withFields } from './fields'

function option(name: string, type: EngineOption['type'], choices: (string | number)[] = []) {
  return { name, type, choices, default: null, description: '', minimum: null, maximum: null }
}

const OPTIONS = [
  option('n_ctx', 'integer'),
  option('load_in_bits', 'choice', [4, 8]),
  option('use_mmap', 'boolean'),
  option('split', 'json'),
]

it('says what was filled in, each field as the server takes it', () => {
  const fields = {
    priority: '-2',
    aliases: 'a, b',
    gpu_idx: '0,1',
    envs: 'A=1\n\nB=x=y',
    virtual_env_packages: 'peft==0.17\neinops',
    peft_model_config: 'polite=/p.gguf',
    enable_thinking: 'false',
    worker_ip: '  ',
    replica_config: '[{"devices": []}]',
    n_ctx: '512',
    load_in_bits: '8',
    use_mmap: 'true',
    split: '[1, 2]',
  }
  expect(withFields({ model_name: 'm' }, fields, OPTIONS)).toEqual({
    model_name: 'm',
    priority: -2,
    aliases: ['a', 'b'],
    gpu_idx: [0, 1],
    envs: { A: '1', B: 'x=y' },
    virtual_env_packages: ['peft==0.17', 'einops'],
    peft_model_config: { lora_list: [{ lora_name: 'polite', local_path: '/p.gguf' }] },
    enable_thinking: false,
    replica_config: [{ devices: [] }],
    n_ctx: 512,
    load_in_bits: 8,
    use_mmap: true,
    split: [1, 2],
  })
})

it('leaves out options of an engine that is not chosen any more', () => {
  expect(withFields({ model_name: 'm' }, { n_ctx: '512' }, [])).toEqual({ model_name: 'm' })
})

it.each([
  ['priority', '1.5'],
  ['max_queue', 'many'],
  ['envs', 'NOTHING'],
  ['split', '[1'],
  ['replica_config', '[{'],
])('refuses %s when it is %s', (name, text) => {
  expect(() => withFields({ model_name: 'm' }, { [name]: text }, OPTIONS)).toThrow(
    new FieldError(name),
  )
})
