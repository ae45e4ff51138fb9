import { useState } from 'react'

import type { Replica } from '../api/instances'

interface Sample {
  /** Milliseconds. */
  at: number
  /** Tokens generated since each replica was loaded, by its id. */
  tokens: Record<string, number>
}

/** Tokens a second of each replica between the last two answers; empty before the second. */
export function useSpeeds(replicas: Replica[] | undefined, at: number): Record<string, number> {
  const [state, setState] = useState<{ sample: Sample | null; speeds: Record<string, number> }>({
    sample: null,
    speeds: {},
  })
  if (replicas && at !== state.sample?.at) {
    const sample = { at, tokens: tokensOf(replicas) }
    setState({ sample, speeds: state.sample ? speedsBetween(state.sample, sample) : {} })
  }
  return state.speeds
}

function tokensOf(replicas: Replica[]): Record<string, number> {
  const told = replicas.filter((one) => one.stats)
  return Object.fromEntries(
    told.map((one) => [one.replica_model_uid, one.stats?.completion_tokens ?? 0]),
  )
}

export function speedsBetween(before: Sample, after: Sample): Record<string, number> {
  const seconds = (after.at - before.at) / 1000
  return Object.fromEntries(
    Object.entries(after.tokens).flatMap(([id, tokens]) => {
      const earlier = before.tokens[id]
      return earlier === undefined || seconds <= 0 ? [] : [[id, (tokens - earlier) / seconds]]
    }),
  )
}
