import type { ChatMessage, Usage } from '../api/chat'

/** A message and what the model answers to it. */
export interface Turn {
  id: number
  model: string
  prompt: string
  answer: string
  reasoning: string
  state: 'streaming' | 'done' | 'stopped' | 'failed'
  error: Error | null
  finishReason: string | null
  usage: Usage | null
  /** Milliseconds from sending to the first token, and to the end. */
  firstTokenMs: number | null
  totalMs: number | null
}

export function newTurn(id: number, model: string, prompt: string): Turn {
  return {
    id,
    model,
    prompt,
    answer: '',
    reasoning: '',
    state: 'streaming',
    error: null,
    finishReason: null,
    usage: null,
    firstTokenMs: null,
    totalMs: null,
  }
}

/** The messages that ask for the next answer. Turns that failed or brought no text are left out. */
export function toMessages(system: string, turns: Turn[], prompt: string): ChatMessage[] {
  const messages: ChatMessage[] = []
  if (system.trim()) messages.push({ role: 'system', content: system })
  for (const turn of turns) {
    if (turn.state === 'failed' || !turn.answer) continue
    messages.push({ role: 'user', content: turn.prompt })
    messages.push({ role: 'assistant', content: turn.answer })
  }
  messages.push({ role: 'user', content: prompt })
  return messages
}

/** Tokens a second once answering had begun; null where too few were made to tell. */
export function tokensPerSecond(turn: Turn): number | null {
  if (!turn.usage || turn.firstTokenMs === null || turn.totalMs === null) return null
  const intervals = turn.usage.completion_tokens - 1
  const elapsed = turn.totalMs - turn.firstTokenMs
  return intervals > 0 && elapsed > 0 ? (intervals / elapsed) * 1000 : null
}
