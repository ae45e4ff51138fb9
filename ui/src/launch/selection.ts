import type { CatalogueModel } from '../api/catalogue'
import { MODEL_TYPES } from '../api/model-types'

export const TABS = [...MODEL_TYPES, 'custom'] as const
export type Tab = (typeof TABS)[number]

export interface Filter {
  search: string
  /** Empty for any. */
  ability: string
  onlyCached: boolean
}

/** What Xinference's users call the ability of models that see pictures. */
const SYNONYMS: Record<string, string> = { vision: 'vl-chat' }

/** Whether one form of the model can start without a download. */
export function isCached(model: CatalogueModel): boolean {
  return model.model_specs.some((spec) => [spec.cache_status].flat().some(Boolean))
}

export function modelsOf(tab: Tab, models: CatalogueModel[]): CatalogueModel[] {
  return models.filter((model) =>
    tab === 'custom' ? !model.is_builtin : model.model_type === tab,
  )
}

export function abilitiesOf(models: CatalogueModel[]): string[] {
  return [...new Set(models.flatMap((model) => model.model_ability))]
}

/** The models that pass, those that start offline first; each word of the search is in them. */
export function select(models: CatalogueModel[], filter: Filter): CatalogueModel[] {
  const words = filter.search.toLowerCase().split(/\s+/)
  return models
    .filter(
      (model) =>
        (!filter.ability || model.model_ability.includes(filter.ability)) &&
        (!filter.onlyCached || isCached(model)) &&
        words.every((word) => textOf(model).includes(word)),
    )
    .sort((a, b) => Number(isCached(b)) - Number(isCached(a)))
}

function textOf(model: CatalogueModel): string {
  const abilities = model.model_ability.flatMap((one) => [one, SYNONYMS[one] ?? ''])
  return [model.model_name, model.model_description, ...abilities].join(' ').toLowerCase()
}
