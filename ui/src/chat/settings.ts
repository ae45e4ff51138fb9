import type { ChatBody } from '../api/chat'
import { toMessages } from './turn'
import type { Input, Turn } from './turn'

export interface NumberField {
  name: string
  minimum: number
  maximum?: number
  step: number
}

/** Sampling parameters by the server's names; what is not set is the model's own. */
export const SAMPLING: NumberField[] = [
  { name: 'temperature', minimum: 0, maximum: 2, step: 0.1 },
  { name: 'top_p', minimum: 0.01, maximum: 1, step: 0.05 },
  { name: 'top_k', minimum: -1, step: 1 },
  { name: 'min_p', minimum: 0, maximum: 1, step: 0.05 },
  { name: 'max_tokens', minimum: 1, step: 1 },
  { name: 'presence_penalty', minimum: -2, maximum: 2, step: 0.1 },
  { name: 'frequency_penalty', minimum: -2, maximum: 2, step: 0.1 },
  { name: 'repetition_penalty', minimum: 0.01, maximum: 10, step: 0.05 },
  { name: 'seed', minimum: 0, step: 1 },
]

export interface ChatSettings {
  system: string
  /** Numbers by the names in SAMPLING; what is missing is not set. */
  sampling: Record<string, number>
  /** Texts that end an answer, one a line. */
  stop: string
  /** `''` leaves it to the model. */
  thinking: '' | 'true' | 'false'
  /** JSON: a list of OpenAI's tools; empty for none. */
  tools: string
}

export const DEFAULTS: ChatSettings = { system: '', sampling: {}, stop: '', thinking: '', tools: '' }

/** The tools that a text in JSON describes; null where it describes none. */
export function parseTools(text: string): unknown[] | null {
  if (!text.trim()) return []
  try {
    const tools: unknown = JSON.parse(text)
    return Array.isArray(tools) ? tools : null
  } catch {
    return null
  }
}

/** The request for the answer to `input`. */
export function toBody(
  model: string,
  settings: ChatSettings,
  turns: Turn[],
  input: Input,
): ChatBody {
  const stops = settings.stop.split('\n').filter(Boolean)
  const tools = parseTools(settings.tools) ?? []
  return {
    model,
    messages: toMessages(settings.system, turns, input),
    stream: true,
    stream_options: { include_usage: true },
    ...settings.sampling,
    ...(stops.length > 0 ? { stop: stops } : {}),
    ...(settings.thinking ? { enable_thinking: settings.thinking === 'true' } : {}),
    ...(tools.length > 0 ? { tools } : {}),
  }
}
