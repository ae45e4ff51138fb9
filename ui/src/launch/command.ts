import type { LaunchRequest } from '../api/instances'
import { quote } from '../shell/quote'
import { snippet } from '../snippets/snippet'

const FLAGS: Record<string, string> = {
  model_name: '--model-name',
  model_type: '--model-type',
  model_engine: '--model-engine',
  model_uid: '--model-uid',
  model_format: '--model-format',
  model_size_in_billions: '--size-in-billions',
  quantization: '--quantization',
  replica: '--replica',
  model_path: '--model-path',
  download_hub: '--download-hub',
  worker_ip: '--worker-ip',
  priority: '--priority',
  trust_remote_code: '--trust-remote-code',
}
const DEFAULT_ENDPOINT = 'http://127.0.0.1:9997'

/** The command that asks the server at `endpoint` for this launch, in words of a POSIX shell. */
export function toCommand(launch: LaunchRequest, endpoint: string): string {
  const words = ['xinference', 'launch']
  if (endpoint !== DEFAULT_ENDPOINT) words.push('--endpoint', endpoint)
  for (const [name, value] of Object.entries(launch)) words.push(...wordsOf(name, value))
  return words.map(quote).join(' ')
}

function wordsOf(name: string, value: unknown): string[] {
  switch (name) {
    case 'n_gpu':
      return ['--n-gpu', value === null ? 'none' : String(value)]
    case 'gpu_idx':
      return ['--gpu-idx', (value as number[]).join(',')]
    case 'aliases':
      return (value as string[]).flatMap((alias) => ['--alias', alias])
    case 'worker_labels':
      return pairs(value).flatMap(([key, label]) => ['--label', `${key}=${label}`])
    case 'envs':
      return pairs(value).flatMap(([key, text]) => ['--env', key, text])
    case 'virtual_env_packages':
      return (value as string[]).flatMap((one) => ['--virtual-env-package', one])
    case 'virtual_env_find_links':
      return (value as string[]).flatMap((one) => ['--virtual-env-find-link', one])
    case 'peft_model_config':
      return (value as Adapters).lora_list.flatMap((one) => [
        '--lora-modules',
        one.lora_name,
        one.local_path,
      ])
    case 'enable_thinking':
      return [value ? '--enable-thinking' : '--disable-thinking']
  }
  const flag = FLAGS[name]
  return flag ? [flag, String(value)] : [`--${name}`, spelled(value)]
}

/** A value as the command reads those of flags that it does not know: by what they look like. */
function spelled(value: unknown): string {
  if (typeof value === 'string') return TYPED.test(value) ? JSON.stringify(value) : value
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** Texts that would be read as something else: a number, a truth value, none, or JSON. */
const TYPED = /^([[{"].*|true|false|none|[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)$/is

/** The same launch as a request of curl. */
export function toCurl(launch: LaunchRequest, endpoint: string): string {
  return snippet('curl', `${endpoint}/v1`, { path: 'models', body: launch })
}

interface Adapters {
  lora_list: { lora_name: string; local_path: string }[]
}

function pairs(value: unknown): [string, string][] {
  return Object.entries(value as Record<string, string>)
}
