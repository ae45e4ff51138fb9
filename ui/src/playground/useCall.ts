import { useEffect, useRef, useState } from 'react'

import { newRequestId } from '../api/progress'

export interface Call<Result> {
  result: Result | null
  /** Milliseconds that the last answer took. */
  took: number | null
  error: Error | null
  /** The name of the request that is under way; null where none is. */
  running: string | null
  /** Makes a request, under this name; one that is under way is given up. */
  start: (request: (signal: AbortSignal, id: string) => Promise<Result>) => void
  stop: () => void
}

/** One request at a time, with its result. It ends when the page is left. */
export function useCall<Result>(): Call<Result> {
  const [state, setState] = useState<Pick<Call<Result>, 'result' | 'took' | 'error' | 'running'>>({
    result: null,
    took: null,
    error: null,
    running: null,
  })
  const controller = useRef<AbortController | null>(null)
  useEffect(() => () => controller.current?.abort(), [])

  async function run(request: (signal: AbortSignal, id: string) => Promise<Result>) {
    controller.current?.abort()
    const id = newRequestId()
    const own = new AbortController()
    controller.current = own
    setState((before) => ({ ...before, error: null, running: id }))
    const begin = performance.now()
    try {
      const result = await request(own.signal, id)
      if (own.signal.aborted) return
      setState({ result, took: performance.now() - begin, error: null, running: null })
    } catch (error) {
      if (own.signal.aborted) return
      setState((before) => ({ ...before, error: error as Error, running: null }))
    }
  }

  return {
    ...state,
    start: (request) => void run(request),
    stop: () => {
      controller.current?.abort()
      setState((before) => ({ ...before, running: null }))
    },
  }
}
