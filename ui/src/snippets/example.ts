import type { ModelType } from '../api/model-types'

/** A request to the API: a path below /v1, and what goes with it. */
export interface ApiRequest {
  path: string
  body: Record<string, unknown>
  /** Fields of `body` that are names of files: then it goes as a form. */
  files?: string[]
  /** What the answer is written to, where it is no JSON. */
  output?: string
}

/** The request that shows best what a model is for. */
export function exampleOf(type: ModelType, model: string, abilities: string[]): ApiRequest {
  switch (type) {
    case 'embedding':
      return { path: 'embeddings', body: { model, input: ['A text.', 'Another one.'] } }
    case 'rerank':
      return {
        path: 'rerank',
        body: { model, query: 'What is a replica?', documents: ['A copy of a model.', 'Rain.'] },
      }
    case 'image':
      return {
        path: 'images/generations',
        body: { model, prompt: 'A red square', response_format: 'b64_json' },
      }
    case 'audio':
      return abilities.includes('audio2text')
        ? { path: 'audio/transcriptions', body: { model, file: 'speech.wav' }, files: ['file'] }
        : {
            path: 'audio/speech',
            body: { model, input: 'Hello.', voice: '', response_format: 'wav' },
            output: 'speech.wav',
          }
    default:
      return abilities.includes('chat')
        ? {
            path: 'chat/completions',
            body: { model, messages: [{ role: 'user', content: 'Hello!' }] },
          }
        : { path: 'completions', body: { model, prompt: 'Once upon a time', max_tokens: 64 } }
  }
}
