import { useCallback, useEffect, useRef, useState } from 'react'

import { streamChat } from '../api/chat'
import type { ChatBody } from '../api/chat'
import { DEFAULTS, toBody } from './settings'
import type { ChatSettings } from './settings'
import { loadChat, saveChat } from './store'
import { newTurn, withCalls } from './turn'
import type { Input, Turn } from './turn'

/** How often, at the most, an answer that comes in is drawn, and kept. Milliseconds. */
const DRAW_MS = 50
const SAVE_MS = 500
const NOTHING: Input = { kind: 'user', text: '', images: [] }

export interface Chat {
  turns: Turn[]
  streaming: boolean
  settings: ChatSettings
  change: (changes: Partial<ChatSettings>) => void
  /** Sends an input to `model`; what comes back appears in `turns`. */
  send: (model: string, input: Input) => void
  /** Sends the last input again, in place of its failed answer. */
  retry: (model: string) => void
  /** The request for the last answer; before there is one, a request as it would be. */
  request: (model: string) => ChatBody
  stop: () => void
  clear: () => void
}

export function useChat(): Chat {
  const [turns, setTurns] = useState<Turn[]>([])
  const [settings, setSettings] = useState(DEFAULTS)
  const nextId = useRef(0)
  const running = useRef<AbortController | null>(null)
  useKept(turns, settings, (kept) => {
    nextId.current = Math.max(-1, ...kept.turns.map(({ id }) => id)) + 1
    setTurns((now) => (now.length > 0 ? now : kept.turns))
    setSettings((now) => (now === DEFAULTS ? kept.settings : now))
  })

  const stop = useCallback(() => running.current?.abort(), [])
  useEffect(() => stop, [stop])

  function ask(model: string, earlier: Turn[], input: Input) {
    const turn = newTurn(nextId.current++, model, input)
    const controller = new AbortController()
    running.current = controller
    setTurns([...earlier, turn])
    const body = toBody(model, settings, earlier, input)
    void answer(turn, body, controller.signal, (changed) =>
      setTurns((all) => all.map((one) => (one.id === turn.id ? changed : one))),
    )
  }

  const last = turns.at(-1)
  return {
    turns,
    streaming: last?.state === 'streaming',
    settings,
    change: (changes) => setSettings({ ...settings, ...changes }),
    send: (model, input) => ask(model, turns, input),
    retry: (model) => last && ask(model, turns.slice(0, -1), last.input),
    request: (model) => toBody(model, settings, turns.slice(0, -1), last?.input ?? NOTHING),
    stop,
    clear: () => {
      stop()
      setTurns([])
    },
  }
}

/** Loads what was kept once, and keeps what changes from then on. */
function useKept(
  turns: Turn[],
  settings: ChatSettings,
  onLoad: (kept: { turns: Turn[]; settings: ChatSettings }) => void,
) {
  const [loaded, setLoaded] = useState(false)
  const load = useRef(onLoad)
  useEffect(() => {
    // A browser that keeps nothing, as in some private windows, loses the chat with the page.
    loadChat().then(load.current, () => undefined).finally(() => setLoaded(true))
  }, [])
  const latest = useRef({ turns, settings })
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => {
    latest.current = { turns, settings }
    if (!loaded) return
    const streaming = turns.at(-1)?.state === 'streaming'
    // Now and then while an answer comes in, and at once when it is complete.
    if (streaming) timer.current ??= setTimeout(save, SAVE_MS)
    else save()

    function save() {
      clearTimeout(timer.current)
      timer.current = undefined
      void saveChat(latest.current).catch(() => undefined)
    }
  }, [loaded, turns, settings])
}

/** Streams the answer, telling the turn as it grows; it ends in one way or other. */
async function answer(
  turn: Turn,
  body: ChatBody,
  signal: AbortSignal,
  tell: (turn: Turn) => void,
) {
  const start = performance.now()
  let now = turn
  let drawing: ReturnType<typeof setTimeout> | undefined
  function end(changes: Partial<Turn>) {
    clearTimeout(drawing)
    tell({ ...now, ...changes })
  }
  try {
    for await (const delta of streamChat(body, signal)) {
      now = {
        ...now,
        answer: now.answer + delta.content,
        reasoning: now.reasoning + delta.reasoning,
        calls: delta.calls.length > 0 ? withCalls(now.calls, delta.calls) : now.calls,
        usage: delta.usage ?? now.usage,
        finishReason: delta.finishReason ?? now.finishReason,
      }
      if (delta.content || delta.reasoning || delta.calls.length > 0) {
        now.firstTokenMs ??= performance.now() - start
      }
      drawing ??= setTimeout(() => {
        drawing = undefined
        tell(now)
      }, DRAW_MS)
    }
    end({ state: 'done', totalMs: performance.now() - start })
  } catch (error) {
    if (signal.aborted) end({ state: 'stopped' })
    else end({ state: 'failed', error: error as Error })
  }
}
