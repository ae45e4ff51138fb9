import { postJson, request } from './http'

export async function transcribe(
  body: { model: string; language?: string },
  audio: Blob,
  signal: AbortSignal,
): Promise<string> {
  const form = new FormData()
  for (const [name, value] of Object.entries(body)) form.append(name, value)
  form.append('response_format', 'json')
  form.append('file', audio, 'audio.wav')
  const response = await request('v1/audio/transcriptions', { method: 'POST', body: form, signal })
  const { text } = (await response.json()) as { text: string }
  return text
}

export async function speak(body: Record<string, unknown>, signal: AbortSignal): Promise<Blob> {
  return (await postJson('v1/audio/speech', body, signal)).blob()
}
