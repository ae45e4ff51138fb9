import { postJson } from './http'

export interface Embeddings {
  data: { index: number; embedding: number[] }[]
  usage: { prompt_tokens: number }
}

export interface Ranking {
  results: { index: number; relevance_score: number }[]
}

export async function embed(body: unknown, signal: AbortSignal): Promise<Embeddings> {
  const response = await postJson('v1/embeddings', body, signal)
  return (await response.json()) as Embeddings
}

export async function rerank(body: unknown, signal: AbortSignal): Promise<Ranking> {
  const response = await postJson('v1/rerank', body, signal)
  return (await response.json()) as Ranking
}
