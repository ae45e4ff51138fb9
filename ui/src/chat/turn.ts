import type { CallDelta, ChatMessage, ToolCall, Usage } from '../api/chat'

/** What a person says, with pictures as data URLs; or what the functions that were called gave. */
export type Input =
  | { kind: 'user'; text: string; images: string[] }
  | { kind: 'results'; results: { id: string; name: string; content: string }[] }

/** An input and what the model answers to it. */
export interface Turn {
  id: number
  model: string
  input: Input
  answer: string
  reasoning: string
  calls: ToolCall[]
  state: 'streaming' | 'done' | 'stopped' | 'failed'
  error: Error | null
  finishReason: string | null
  usage: Usage | null
  /** Milliseconds from sending to the first token, and to the end. */
  firstTokenMs: number | null
  totalMs: number | null
}

export function newTurn(id: number, model: string, input: Input): Turn {
  return {
    id,
    model,
    input,
    answer: '',
    reasoning: '',
    calls: [],
    state: 'streaming',
    error: null,
    finishReason: null,
    usage: null,
    firstTokenMs: null,
    totalMs: null,
  }
}

/** The messages that ask for the next answer. Turns that failed or brought nothing are left out. */
export function toMessages(system: string, turns: Turn[], input: Input): ChatMessage[] {
  const messages: ChatMessage[] = []
  if (system.trim()) messages.push({ role: 'system', content: system })
  for (const turn of turns) {
    if (turn.state === 'failed' || (!turn.answer && turn.calls.length === 0)) continue
    messages.push(...inputMessages(turn.input))
    const calls = turn.calls.length > 0 ? { tool_calls: turn.calls } : {}
    messages.push({ role: 'assistant', content: turn.answer || null, ...calls })
  }
  messages.push(...inputMessages(input))
  return messages
}

function inputMessages(input: Input): ChatMessage[] {
  if (input.kind === 'results') {
    return input.results.map(({ id, content }) => ({ role: 'tool', tool_call_id: id, content }))
  }
  if (input.images.length === 0) return [{ role: 'user', content: input.text }]
  const images = input.images.map((url) => ({ type: 'image_url' as const, image_url: { url } }))
  return [{ role: 'user', content: [...images, { type: 'text', text: input.text }] }]
}

/** The calls with what a chunk adds to them. */
export function withCalls(calls: ToolCall[], deltas: CallDelta[]): ToolCall[] {
  const next = [...calls]
  for (const { index, id, function: part } of deltas) {
    const before = next[index] ?? { id: '', type: 'function', function: { name: '', arguments: '' } }
    next[index] = {
      id: id ?? before.id,
      type: 'function',
      function: {
        name: before.function.name + (part?.name ?? ''),
        arguments: before.function.arguments + (part?.arguments ?? ''),
      },
    }
  }
  return next
}

/** An answer that came in less time, in milliseconds, came at once. */
const AT_ONCE_MS = 50

/**
 * Tokens a second once answering had begun, or of the whole request for an answer that came at
 * once; null where too few were made to tell.
 */
export function tokensPerSecond(turn: Turn): number | null {
  if (!turn.usage || turn.firstTokenMs === null || turn.totalMs === null) return null
  const tokens = turn.usage.completion_tokens
  if (tokens < 2) return null
  const elapsed = turn.totalMs - turn.firstTokenMs
  return elapsed < AT_ONCE_MS ? (tokens / turn.totalMs) * 1000 : ((tokens - 1) / elapsed) * 1000
}
