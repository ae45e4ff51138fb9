import { ApiError, postJson } from './http'
import { readEvents } from './sse'

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant'
  content: string
}

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
}

/** What one chunk of a streamed answer adds. */
export interface ChatDelta {
  content: string
  reasoning: string
  finishReason: string | null
  usage: Usage | null
}

interface Chunk {
  choices?: {
    delta?: { content?: string | null; reasoning_content?: string | null }
    finish_reason?: string | null
  }[]
  usage?: Usage | null
  error?: { message: string }
}

/** The stream broke off: there was neither its end mark nor an error from the server. */
export class IncompleteAnswerError extends Error {}

/**
 * Streams a model's answer until it is complete. Throws ApiError when the server refuses or
 * fails on the way; aborting `signal` ends the request, and with it the work on the server.
 */
export async function* streamChat(
  model: string,
  messages: ChatMessage[],
  signal: AbortSignal,
): AsyncGenerator<ChatDelta> {
  const body = { model, messages, stream: true, stream_options: { include_usage: true } }
  const response = await postJson('v1/chat/completions', body, signal)
  if (!response.body) throw new IncompleteAnswerError()
  try {
    for await (const data of readEvents(response.body)) {
      if (data === '[DONE]') return
      yield toDelta(JSON.parse(data) as Chunk)
    }
  } catch (error) {
    if (error instanceof TypeError) throw new IncompleteAnswerError('', { cause: error })
    throw error
  }
  throw new IncompleteAnswerError()
}

function toDelta(chunk: Chunk): ChatDelta {
  if (chunk.error) throw new ApiError(chunk.error.message, null)
  const choice = chunk.choices?.[0]
  return {
    content: choice?.delta?.content ?? '',
    reasoning: choice?.delta?.reasoning_content ?? '',
    finishReason: choice?.finish_reason ?? null,
    usage: chunk.usage ?? null,
  }
}
