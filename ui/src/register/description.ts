import type { ModelType } from '../api/model-types'

/** What the form can say of a model, as texts; an empty one says nothing. */
export interface Fields {
  name: string
  description: string
  /** With commas between. */
  languages: string
  abilities: string
  context: string
  dimensions: string
  format: string
  size: string
  quantization: string
  /** A path on the server, or a repository. */
  uri: string
  template: string
  /** One a line. */
  stop: string
}

export type Description = Record<string, unknown>

const TEXTS: Partial<Record<keyof Fields, string>> = {
  name: 'model_name',
  description: 'model_description',
  template: 'chat_template',
}

/** What a description says, as far as the form shows it. */
export function toFields(description: Description): Fields {
  const [spec = {}] = (description.model_specs ?? []) as Description[]
  const list = (value: unknown, between: string) =>
    Array.isArray(value) ? value.join(between) : text(value)
  return {
    name: text(description.model_name),
    description: text(description.model_description),
    languages: list(description.model_lang ?? description.language, ', '),
    abilities: list(description.model_ability, ', '),
    context: text(description.context_length ?? description.max_tokens),
    dimensions: text(description.dimensions),
    format: text(spec.model_format),
    size: text(spec.model_size_in_billions).replace('_', '.'),
    quantization: text(spec.quantization),
    uri: text(spec.model_uri).replace(/^file:\/\//, '') || text(spec.model_id),
    template: text(description.chat_template),
    stop: list(description.stop, '\n'),
  }
}

/** The description with what the form says in place of what it said; the rest of it stays. */
export function withFields(type: ModelType, before: Description, fields: Fields): Description {
  const [spec = {}, ...otherSpecs] = (before.model_specs ?? []) as Description[]
  const next: Description = { ...before }
  for (const [field, name] of Object.entries(TEXTS)) {
    put(next, name, fields[field as keyof Fields].trim())
  }
  put(next, type === 'LLM' ? 'model_lang' : 'language', commas(fields.languages))
  put(next, 'model_ability', commas(fields.abilities))
  put(next, type === 'LLM' ? 'context_length' : 'max_tokens', count(fields.context))
  put(next, 'dimensions', count(fields.dimensions))
  put(next, 'stop', fields.stop.split('\n').filter(Boolean))
  const own: Description = { ...spec }
  put(own, 'model_format', fields.format)
  put(own, 'model_size_in_billions', fields.size.replace('.', '_'))
  put(own, 'quantization', fields.quantization)
  const isPath = /^[/~.]|^[A-Za-z]:/.test(fields.uri.trim())
  put(own, 'model_uri', isPath ? `file://${fields.uri.trim()}` : '')
  put(own, 'model_id', isPath ? '' : fields.uri.trim())
  next.model_specs = [own, ...otherSpecs]
  return next
}

function put(into: Description, name: string, value: string | string[] | number | null) {
  if (value === null || value === '' || (Array.isArray(value) && value.length === 0)) {
    delete into[name]
  } else {
    into[name] = value
  }
}

function text(value: unknown): string {
  return value === null || value === undefined ? '' : String(value)
}

function commas(value: string): string[] {
  return value.split(',').flatMap((one) => one.trim() || [])
}

function count(value: string): number | null {
  const number = Number(value)
  return value.trim() && Number.isFinite(number) ? number : null
}

/** The object that a text in JSON is; null where it is none. */
export function parseDescription(json: string): Description | null {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Description)
      : null
  } catch {
    return null
  }
}
