import { ApiError, getJson } from './http'

/** A name for a request that is about to be made, by which its progress is asked for. */
export function newRequestId(): string {
  // Browsers withhold crypto.randomUUID from a page that came over plain HTTP.
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** How far a request is, from 0 to 1; null where the server does not know of it, or not yet. */
export async function getRequestProgress(id: string, signal?: AbortSignal): Promise<number | null> {
  try {
    const { progress } = await getJson<{ progress: number }>(`v1/requests/${id}/progress`, signal)
    return progress
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null
    throw error
  }
}
