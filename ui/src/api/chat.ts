import { ApiError, postJson } from './http'
import { readEvents } from './sse'

export interface ImagePart {
  type: 'image_url'
  image_url: { url: string }
}

export interface TextPart {
  type: 'text'
  text: string
}

export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

export type ChatMessage =
  | { role: 'system'; content: string }
  | { role: 'user'; content: string | (TextPart | ImagePart)[] }
  | { role: 'assistant'; content: string | null; tool_calls?: ToolCall[] }
  | { role: 'tool'; tool_call_id: string; content: string }

/** A chat request: besides these, whatever sets how the model answers. */
export type ChatBody = { model: string; messages: ChatMessage[] } & Record<string, unknown>

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
}

/** A part of a call: the pieces of `arguments` come one after the other. */
export interface CallDelta {
  index: number
  id?: string
  function?: { name?: string; arguments?: string }
}

/** What one chunk of a streamed answer adds. */
export interface ChatDelta {
  content: string
  reasoning: string
  calls: CallDelta[]
  finishReason: string | null
  usage: Usage | null
}

interface Chunk {
  choices?: {
    delta?: {
      content?: string | null
      reasoning_content?: string | null
      tool_calls?: CallDelta[] | null
    }
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
export async function* streamChat(body: ChatBody, signal: AbortSignal): AsyncGenerator<ChatDelta> {
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
    calls: choice?.delta?.tool_calls ?? [],
    finishReason: choice?.finish_reason ?? null,
    usage: chunk.usage ?? null,
  }
}
