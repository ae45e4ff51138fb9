import { apiKey } from './api-key'

/** A refusal or a failure of the server. `status` is null where no HTTP status tells of it. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number | null,
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

/** The server could not be reached at all. */
export class UnreachableError extends Error {}

/** An address of the API, relative to the page: the server may live below a sub-path. */
export function address(path: string): URL {
  return new URL(path, document.baseURI)
}

/** Sends a request with the caller's key; a status other than 2xx throws ApiError. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers)
  const { key } = apiKey.get()
  if (key) headers.set('Authorization', `Bearer ${key}`)
  let response: Response
  try {
    response = await fetch(address(path), { ...init, headers })
  } catch (error) {
    if (init.signal?.aborted) throw error
    throw new UnreachableError(String(error), { cause: error })
  }
  if (response.status === 401) apiKey.refuse(key)
  if (!response.ok) throw new ApiError(await errorMessage(response), response.status)
  return response
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, { signal })
  return (await response.json()) as T
}

/** `id` is the name that the request is to have on the server. */
export function postJson(
  path: string,
  body: unknown,
  signal?: AbortSignal,
  id?: string,
): Promise<Response> {
  return sendJson('POST', path, body, signal, id)
}

export function sendJson(
  method: string,
  path: string,
  body: unknown,
  signal?: AbortSignal,
  id?: string,
): Promise<Response> {
  return request(path, {
    method,
    headers: { 'Content-Type': 'application/json', ...(id ? { 'X-Request-Id': id } : {}) },
    body: JSON.stringify(body),
    signal,
  })
}

interface ErrorBody {
  error?: { message?: string }
  detail?: unknown
}

async function errorMessage(response: Response): Promise<string> {
  const text = await response.text()
  const status = `${response.status} ${response.statusText}`.trim()
  try {
    const body = JSON.parse(text) as ErrorBody | null
    if (body?.error?.message) return body.error.message
    if (typeof body?.detail === 'string') return body.detail
  } catch {
    // Not JSON: a proxy in between answered with a page or plain text of its own.
  }
  return text && text.length < 300 && !text.includes('<') ? `${status}: ${text}` : status
}
