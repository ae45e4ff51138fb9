import { postJson, request } from './http'

export interface Segment {
  /** Seconds. */
  start: number
  end: number
  text: string
}

export interface Transcript {
  text: string
  /** Where times were asked for. */
  segments?: Segment[]
}

/** `path` is that of transcriptions, or of translations into English. */
export async function transcribe(
  path: string,
  body: Record<string, string>,
  audio: File,
  signal: AbortSignal,
  id: string,
): Promise<Transcript> {
  const form = new FormData()
  for (const [name, value] of Object.entries(body)) form.append(name, value)
  form.append('file', audio, audio.name)
  const headers = { 'X-Request-Id': id }
  const response = await request(`v1/${path}`, { method: 'POST', body: form, headers, signal })
  return (await response.json()) as Transcript
}

export async function speak(
  body: Record<string, unknown>,
  signal: AbortSignal,
  id: string,
): Promise<Blob> {
  return (await postJson('v1/audio/speech', body, signal, id)).blob()
}
