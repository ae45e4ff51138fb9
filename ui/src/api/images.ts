import { postJson, request } from './http'

interface Pictures {
  data: { b64_json: string; seed?: number }[]
}

export interface Drawn {
  /** A data URL. */
  url: string
  /** With which the same request draws it again. */
  seed: number | null
}

export interface Generation extends Record<string, unknown> {
  model: string
  prompt: string
}

/** Pictures of a text. */
export async function generateImages(
  body: Generation,
  signal: AbortSignal,
  id: string,
): Promise<Drawn[]> {
  const asked = { ...body, response_format: 'b64_json' }
  return drawn(await postJson('v1/images/generations', asked, signal, id))
}

/** A picture drawn anew after a text; with `mask`, a PNG of its size, only where that is transparent. */
export async function editImage(
  body: Generation,
  image: Blob,
  mask: Blob | null,
  signal: AbortSignal,
  id: string,
): Promise<Drawn[]> {
  const form = new FormData()
  for (const [name, value] of Object.entries(body)) form.append(name, String(value))
  form.append('response_format', 'b64_json')
  form.append('image', image, 'image.png')
  if (mask) form.append('mask', mask, 'mask.png')
  const headers = { 'X-Request-Id': id }
  return drawn(await request('v1/images/edits', { method: 'POST', body: form, headers, signal }))
}

async function drawn(response: Response): Promise<Drawn[]> {
  const { data } = (await response.json()) as Pictures
  return data.map(({ b64_json, seed }) => ({
    url: `data:image/${kindOf(b64_json)};base64,${b64_json}`,
    seed: seed ?? null,
  }))
}

/** By the first bytes of a picture, in base64. */
function kindOf(base64: string): string {
  if (base64.startsWith('/9j/')) return 'jpeg'
  return base64.startsWith('UklGR') ? 'webp' : 'png'
}
