import { useCallback, useEffect, useRef, useState } from 'react'

import { streamChat } from '../api/chat'
import { newTurn, toMessages } from './turn'
import type { Turn } from './turn'

export interface Chat {
  turns: Turn[]
  streaming: boolean
  system: string
  setSystem: (system: string) => void
  /** Sends a message to `model`; what comes back appears in `turns`. */
  send: (model: string, prompt: string) => void
  /** Sends the last message again, in place of its failed answer. */
  retry: (model: string) => void
  stop: () => void
  clear: () => void
}

export function useChat(): Chat {
  const [turns, setTurns] = useState<Turn[]>([])
  const [system, setSystem] = useState('')
  const nextId = useRef(0)
  const request = useRef<AbortController | null>(null)

  const stop = useCallback(() => request.current?.abort(), [])
  useEffect(() => stop, [stop])

  function ask(model: string, earlier: Turn[], prompt: string) {
    const turn = newTurn(nextId.current++, model, prompt)
    const controller = new AbortController()
    request.current = controller
    setTurns([...earlier, turn])
    void answer(turn, toMessages(system, earlier, prompt), controller.signal, (changes) =>
      setTurns((all) => all.map((one) => (one.id === turn.id ? { ...one, ...changes } : one))),
    )
  }

  const last = turns.at(-1)
  return {
    turns,
    streaming: last?.state === 'streaming',
    system,
    setSystem,
    send: (model, prompt) => ask(model, turns, prompt),
    retry: (model) => last && ask(model, turns.slice(0, -1), last.prompt),
    stop,
    clear: () => {
      stop()
      setTurns([])
    },
  }
}

/** Streams the answer to `messages`, telling each change of `turn`; it ends in one way or other. */
async function answer(
  turn: Turn,
  messages: ReturnType<typeof toMessages>,
  signal: AbortSignal,
  change: (changes: Partial<Turn>) => void,
) {
  const start = performance.now()
  let { answer, reasoning, firstTokenMs } = turn
  try {
    for await (const delta of streamChat(turn.model, messages, signal)) {
      answer += delta.content
      reasoning += delta.reasoning
      if (delta.content || delta.reasoning) firstTokenMs ??= performance.now() - start
      change({ answer, reasoning, firstTokenMs })
      if (delta.usage) change({ usage: delta.usage })
      if (delta.finishReason) change({ finishReason: delta.finishReason })
    }
    change({ state: 'done', totalMs: performance.now() - start })
  } catch (error) {
    if (signal.aborted) change({ state: 'stopped' })
    else change({ state: 'failed', error: error as Error })
  }
}
