import { getJson, postJson, request } from './http'
import { MODEL_TYPES } from './model-types'
import type { ModelType } from './model-types'

export interface ModelSpec {
  /** Empty where the model has no files, or the catalogue does not know. */
  model_format: string | null
  /** Billions of parameters; `0_5` is how the catalogue may write 0.5. */
  model_size_in_billions: number | string | null
  quantization: string | null
  cache_status: boolean | boolean[] | null
}

/** An entry of the catalogue. */
export interface CatalogueModel {
  model_name: string
  model_type: ModelType
  model_description: string | null
  model_lang?: string[]
  language?: string[]
  model_ability: string[]
  context_length?: number | null
  max_tokens?: number | null
  dimensions?: number | null
  is_builtin: boolean
  model_specs: ModelSpec[]
}

/** One format and size of a model that an engine runs, in these quantisations. */
export interface EngineForm {
  model_format: string
  model_size_in_billions: number | string | null
  quantizations: string[]
}

/** By engine: the forms that it runs, or why it runs none. */
export type EngineAnswers = Record<string, EngineForm[] | string>

export interface EngineOption {
  name: string
  type: 'boolean' | 'integer' | 'number' | 'string' | 'choice' | 'json'
  /** null where the engine decides. */
  default: unknown
  description: string
  choices: (string | number)[]
  minimum: number | null
  maximum: number | null
}

export async function listCatalogue(signal?: AbortSignal): Promise<CatalogueModel[]> {
  const lists = await Promise.all(
    MODEL_TYPES.map((type) =>
      getJson<CatalogueModel[]>(`v1/model_registrations/${type}?detailed=true`, signal),
    ),
  )
  return lists.flat()
}

/** `model` is named as a launch names it: by name, repository or path. */
export function askEngines(model: string, signal?: AbortSignal): Promise<EngineAnswers> {
  return getJson(`v1/engines/${encodeURIComponent(model)}`, signal)
}

export function listEngines(
  signal?: AbortSignal,
): Promise<Record<string, { options: EngineOption[] }>> {
  return getJson('v1/engines', signal)
}

/** The description with which the files at `path` on the server can be registered. */
export async function describeFiles(path: string): Promise<Record<string, unknown>> {
  const response = await postJson('v1/models/llm/auto-register', { model_path: path })
  return (await response.json()) as Record<string, unknown>
}

/** Registers a model, and returns the fields of its description that have no effect. */
export async function registerModel(
  type: ModelType,
  description: string,
  persist: boolean,
): Promise<string[]> {
  const body = { model: description, persist }
  const response = await postJson(`v1/model_registrations/${type}`, body)
  return (response.headers.get('X-Ignored-Fields') ?? '').split(',').flatMap((one) => one.trim() || [])
}

export async function unregisterModel(model: CatalogueModel): Promise<void> {
  const name = encodeURIComponent(model.model_name)
  await request(`v1/model_registrations/${model.model_type}/${name}`, { method: 'DELETE' })
}
