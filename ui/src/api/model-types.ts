export const MODEL_TYPES = ['LLM', 'embedding', 'rerank', 'image', 'audio'] as const
export type ModelType = (typeof MODEL_TYPES)[number]
