import type { EngineOption } from '../api/catalogue'
import type { LaunchRequest } from '../api/instances'
import { MODEL_TYPES } from '../api/model-types'
import type { MessageKey } from '../i18n/en'

/** How a field's text is read: `list` by commas, `lines` and `pairs` (`KEY=VALUE`) by line. */
type Kind =
  | 'text'
  | 'integer'
  | 'integers'
  | 'list'
  | 'lines'
  | 'pairs'
  | 'adapters'
  | 'choice'
  | 'boolean'
  | 'json'

export interface LaunchField {
  name: string
  kind: Kind
  label: MessageKey
  choices?: readonly string[]
  placeholder?: string
}

/** What a launch may say beside the model's form and its number: every field of the server's. */
export const LAUNCH_FIELDS: LaunchField[] = [
  { name: 'model_type', kind: 'choice', label: 'field.model_type', choices: MODEL_TYPES },
  { name: 'model_path', kind: 'text', label: 'field.model_path', placeholder: '/models/mine' },
  {
    name: 'download_hub',
    kind: 'choice',
    label: 'field.download_hub',
    choices: ['huggingface', 'modelscope'],
  },
  { name: 'aliases', kind: 'list', label: 'field.aliases', placeholder: 'gpt-4o-mini' },
  { name: 'worker_ip', kind: 'text', label: 'field.worker_ip' },
  { name: 'gpu_idx', kind: 'integers', label: 'field.gpu_idx', placeholder: '0,1' },
  { name: 'worker_labels', kind: 'pairs', label: 'field.worker_labels', placeholder: 'zone=a' },
  {
    name: 'replica_config',
    kind: 'json',
    label: 'field.replica_config',
    placeholder: '[{"devices": [{"worker_ip": "10.0.0.2", "gpu_idx": [0]}]}]',
  },
  { name: 'priority', kind: 'integer', label: 'field.priority', placeholder: '0' },
  { name: 'max_queue', kind: 'integer', label: 'field.max_queue' },
  { name: 'request_limits', kind: 'integer', label: 'field.request_limits' },
  { name: 'enable_thinking', kind: 'boolean', label: 'field.enable_thinking' },
  { name: 'reasoning_content', kind: 'boolean', label: 'field.reasoning_content' },
  { name: 'reasoning_parser', kind: 'text', label: 'field.reasoning_parser' },
  { name: 'tool_call_parser', kind: 'text', label: 'field.tool_call_parser' },
  { name: 'tool_call_deltas', kind: 'boolean', label: 'field.tool_call_deltas' },
  { name: 'trust_remote_code', kind: 'boolean', label: 'field.trust_remote_code' },
  {
    name: 'peft_model_config',
    kind: 'adapters',
    label: 'field.peft_model_config',
    placeholder: 'polite=/models/polite.gguf',
  },
  {
    name: 'virtual_env_packages',
    kind: 'lines',
    label: 'field.virtual_env_packages',
    placeholder: 'peft==0.17.1',
  },
  { name: 'virtual_env_find_links', kind: 'lines', label: 'field.virtual_env_find_links' },
  { name: 'envs', kind: 'pairs', label: 'field.envs', placeholder: 'OMP_NUM_THREADS=4' },
]

/** The text of a field is not what it has to be. */
export class FieldError extends Error {
  constructor(readonly field: string) {
    super(field)
  }
}

/** The value that a field's text stands for; an empty text stands for none. Throws FieldError. */
export function readField(field: LaunchField, text: string): unknown {
  const lines = text.split('\n').flatMap((line) => line.trim() || [])
  switch (field.kind) {
    case 'integer':
      return integer(field.name, text)
    case 'integers':
      return commas(text).map((one) => integer(field.name, one))
    case 'list':
      return commas(text)
    case 'lines':
      return lines
    case 'pairs':
      return Object.fromEntries(lines.map((line) => pair(field.name, line)))
    case 'adapters':
      return {
        lora_list: lines
          .map((line) => pair(field.name, line))
          .map(([lora_name, local_path]) => ({ lora_name, local_path })),
      }
    case 'boolean':
      return text === 'true'
    case 'json':
      return json(field.name, text)
    default:
      return text.trim()
  }
}

/** The same for an option of an engine. */
export function readOption(option: EngineOption, text: string): unknown {
  switch (option.type) {
    case 'boolean':
      return text === 'true'
    case 'integer':
      return integer(option.name, text)
    case 'number':
      return number(option.name, text)
    case 'choice':
      return option.choices.find((choice) => String(choice) === text)
    case 'json':
      return json(option.name, text)
    default:
      return text
  }
}

/** Adds the fields that say something to a launch. Throws FieldError. */
export function withFields(
  launch: LaunchRequest,
  fields: Record<string, string>,
  options: EngineOption[],
): LaunchRequest {
  const filled = { ...launch }
  for (const field of LAUNCH_FIELDS) {
    const text = fields[field.name]
    if (text?.trim()) filled[field.name] = readField(field, text)
  }
  for (const option of options) {
    const text = fields[option.name]
    if (text?.trim()) filled[option.name] = readOption(option, text)
  }
  return filled
}

function commas(text: string): string[] {
  return text.split(',').flatMap((one) => one.trim() || [])
}

function number(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value)) throw new FieldError(name)
  return value
}

function integer(name: string, text: string): number {
  const value = number(name, text)
  if (!Number.isInteger(value)) throw new FieldError(name)
  return value
}

function pair(name: string, line: string): [string, string] {
  const at = line.indexOf('=')
  if (at < 1) throw new FieldError(name)
  return [line.slice(0, at).trim(), line.slice(at + 1).trim()]
}

function json(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new FieldError(name)
  }
}
