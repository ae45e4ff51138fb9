import { postJson, request } from './http'

interface Pictures {
  data: { b64_json: string }[]
}

export interface Generation extends Record<string, unknown> {
  model: string
  prompt: string
  n: number
  size: string
}

/** Pictures of a text, as data URLs. */
export async function generateImages(body: Generation, signal: AbortSignal): Promise<string[]> {
  const response = await postJson(
    'v1/images/generations',
    { ...body, response_format: 'b64_json' },
    signal,
  )
  return toUrls((await response.json()) as Pictures)
}

/**
 * A picture drawn anew after a text; with `mask`, a PNG of its size, only where that is
 * transparent. Data URLs.
 */
export async function editImage(
  body: Generation,
  image: Blob,
  mask: Blob | null,
  signal: AbortSignal,
): Promise<string[]> {
  const form = new FormData()
  for (const [name, value] of Object.entries(body)) form.append(name, String(value))
  form.append('response_format', 'b64_json')
  form.append('image', image, 'image.png')
  if (mask) form.append('mask', mask, 'mask.png')
  const response = await request('v1/images/edits', { method: 'POST', body: form, signal })
  return toUrls((await response.json()) as Pictures)
}

function toUrls({ data }: Pictures): string[] {
  return data.map(({ b64_json }) => `data:image/${kindOf(b64_json)};base64,${b64_json}`)
}

/** By the first bytes of a picture, in base64. */
function kindOf(base64: string): string {
  if (base64.startsWith('/9j/')) return 'jpeg'
  return base64.startsWith('UklGR') ? 'webp' : 'png'
}
