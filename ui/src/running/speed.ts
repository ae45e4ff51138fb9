import { useState } from 'react'

import type { Replica } from '../api/instances'
import type { ModelType } from '../api/model-types'

interface Sample {
  /** Milliseconds. */
  at: number
  /** Tokens since each replica was loaded, by its id. */
  tokens: Record<string, number>
}

/** What of its tokens tells how much a model does; other types do not count in tokens. */
const COUNTED: Partial<Record<ModelType, 'completion_tokens' | 'prompt_tokens'>> = {
  LLM: 'completion_tokens',
  embedding: 'prompt_tokens',
  rerank: 'prompt_tokens',
}

/**
 * Tokens a second of each replica between the last two answers, of language models those that they
 * write, of others those that they read. Empty before the second answer, and where none are counted.
 */
export function useSpeeds(
  type: ModelType,
  replicas: Replica[] | undefined,
  at: number,
): Record<string, number> {
  const [state, setState] = useState<{ sample: Sample | null; speeds: Record<string, number> }>({
    sample: null,
    speeds: {},
  })
  if (replicas && at !== state.sample?.at) {
    const sample = { at, tokens: tokensOf(type, replicas) }
    setState({ sample, speeds: state.sample ? speedsBetween(state.sample, sample) : {} })
  }
  return state.speeds
}

export function tokensOf(type: ModelType, replicas: Replica[]): Record<string, number> {
  const counted = COUNTED[type]
  return Object.fromEntries(
    replicas.flatMap(({ replica_model_uid, stats }) =>
      counted && stats ? [[replica_model_uid, stats[counted] ?? 0]] : [],
    ),
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
