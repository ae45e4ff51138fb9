/** What a request for pictures may say beside its prompt, as texts; an empty one says nothing. */
export interface ImageSettings {
  size: string
  count: number
  negative: string
  sampler: string
  /** By the server's names. */
  numbers: Record<string, number>
}

export const DEFAULTS: ImageSettings = { size: 'auto', count: 1, negative: '', sampler: '', numbers: {} }

/** `edits` marks what only a request with a picture has. */
export const NUMBERS = [
  { name: 'num_inference_steps', minimum: 1, maximum: 500, step: 1 },
  { name: 'guidance_scale', minimum: 0, maximum: 100, step: 0.5 },
  { name: 'seed', minimum: 0, step: 1 },
  { name: 'strength', minimum: 0, maximum: 1, step: 0.05, edits: true },
]

export function toFields(settings: ImageSettings, edits: boolean): Record<string, unknown> {
  const used = NUMBERS.filter((one) => edits || !one.edits).map(({ name }) => name)
  const numbers = Object.entries(settings.numbers).filter(([name]) => used.includes(name))
  return {
    n: settings.count,
    size: settings.size,
    ...(settings.negative.trim() ? { negative_prompt: settings.negative } : {}),
    ...Object.fromEntries(numbers),
    ...(settings.sampler ? { sampler_name: settings.sampler } : {}),
  }
}
