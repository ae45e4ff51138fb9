import { useHash } from '@mantine/hooks'

export const VIEWS = ['launch', 'running', 'playground', 'register', 'cluster'] as const
export type View = (typeof VIEWS)[number]

export interface Route {
  view: View
  /** The model that the view is about, if the address names one. */
  model: string | null
}

/** The address of a view: `#/playground/my-model`. A hash needs nothing of the server or a proxy. */
export function routeTo(view: View, model?: string): string {
  return model === undefined ? `#/${view}` : `#/${view}/${encodeURIComponent(model)}`
}

export function go(view: View, model?: string) {
  window.location.hash = routeTo(view, model)
}

export function useRoute(): Route {
  const [hash] = useHash({ getInitialValueInEffect: false })
  return parse(hash)
}

function parse(hash: string): Route {
  const [, name, model] = hash.split('/')
  const view = VIEWS.find((candidate) => candidate === name) ?? 'launch'
  return { view, model: model ? decode(model) : null }
}

function decode(part: string): string | null {
  try {
    return decodeURIComponent(part)
  } catch {
    return null // Typed by hand and malformed: the view without a model.
  }
}
