import { useEffect, useRef, useState } from 'react'

export interface Call<Result> {
  result: Result | null
  /** Milliseconds that the last answer took. */
  took: number | null
  error: Error | null
  running: boolean
  /** Makes a request; one that is under way is given up. */
  start: (request: (signal: AbortSignal) => Promise<Result>) => void
  stop: () => void
}

/** One request at a time, with its result. It ends when the page is left. */
export function useCall<Result>(): Call<Result> {
  const [state, setState] = useState<Pick<Call<Result>, 'result' | 'took' | 'error' | 'running'>>({
    result: null,
    took: null,
    error: null,
    running: false,
  })
  const controller = useRef<AbortController | null>(null)
  useEffect(() => () => controller.current?.abort(), [])

  async function run(request: (signal: AbortSignal) => Promise<Result>) {
    controller.current?.abort()
    const own = new AbortController()
    controller.current = own
    setState((before) => ({ ...before, error: null, running: true }))
    const begin = performance.now()
    try {
      const result = await request(own.signal)
      if (own.signal.aborted) return
      setState({ result, took: performance.now() - begin, error: null, running: false })
    } catch (error) {
      if (own.signal.aborted) return
      setState((before) => ({ ...before, error: error as Error, running: false }))
    }
  }

  return {
    ...state,
    start: (request) => void run(request),
    stop: () => {
      controller.current?.abort()
      setState((before) => ({ ...before, running: false }))
    },
  }
}
