import { expect, it } from 'vitest'

import { toCommand, toCurl } from './command'

const HERE = 'http://127.0.0.1:9997'

it('says what the launch says, by the flags of the command', () => {
  const launch = {
    model_name: 'qwen2.5-instruct',
    model_size_in_billions: '0.5',
    n_gpu: null,
    gpu_idx: [0, 1],
    aliases: ['a', 'b'],
    worker_labels: { zone: 'a' },
    envs: { OMP_NUM_THREADS: '4' },
    virtual_env_packages: ['peft==0.17'],
    peft_model_config: { lora_list: [{ lora_name: 'p', local_path: '/p.gguf' }] },
    enable_thinking: true,
    n_ctx: 512,
  }
  expect(toCommand(launch, HERE)).toBe(
    'xinference launch --model-name qwen2.5-instruct --size-in-billions 0.5 --n-gpu none ' +
      '--gpu-idx 0,1 --alias a --alias b --label zone=a --env OMP_NUM_THREADS 4 ' +
      '--virtual-env-package peft==0.17 --lora-modules p /p.gguf --enable-thinking --n_ctx 512',
  )
})

it('names the server where it is not at the usual place', () => {
  expect(toCommand({ model_name: 'm' }, 'http://gpu:80/below')).toBe(
    'xinference launch --endpoint http://gpu:80/below --model-name m',
  )
})

it('quotes what a shell would take apart', () => {
  expect(toCommand({ model_name: "/models/it's mine", tensor_split: [1, 2] }, HERE)).toBe(
    `xinference launch --model-name '/models/it'\\''s mine' --tensor_split '[1,2]'`,
  )
})

it('says whether to think, either way', () => {
  expect(toCommand({ model_name: 'm', enable_thinking: false }, HERE)).toBe(
    'xinference launch --model-name m --disable-thinking',
  )
})

it.each(['8', '-1.5', '.5e3', 'true', 'None', '[1]', '{}', '"a"'])(
  'marks the text %s as one, which the command would take for something else',
  (text) => {
    expect(toCommand({ model_name: 'm', draft: text }, HERE)).toBe(
      `xinference launch --model-name m --draft '${JSON.stringify(text)}'`,
    )
  },
)

it('is a request, too', () => {
  expect(toCurl({ model_name: 'm', n_ctx: 512 }, HERE)).toBe(
    `curl http://127.0.0.1:9997/v1/models \\
  -H "Authorization: Bearer $XINFERENCE_API_KEY" \\
  -H 'Content-Type: application/json' \\
  -d '{
  "model_name": "m",
  "n_ctx": 512
}'`,
  )
})
