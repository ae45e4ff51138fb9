import { useHash } from '@mantine/hooks'

export const VIEWS = ['launch', 'running', 'chat'] as const
export type View = (typeof VIEWS)[number]

export interface Route {
  view: View
  /** The model the view is about, if the address names one. */
  uid: string | null
}

/** The address of a view: `#/chat/my-model`. A hash needs nothing of the server or a proxy. */
export function routeTo(view: View, uid?: string): string {
  return uid === undefined ? `#/${view}` : `#/${view}/${encodeURIComponent(uid)}`
}

export function go(view: View, uid?: string) {
  window.location.hash = routeTo(view, uid)
}

export function useRoute(): Route {
  const [hash] = useHash({ getInitialValueInEffect: false })
  return parse(hash)
}

function parse(hash: string): Route {
  const [, name, uid] = hash.split('/')
  const view = VIEWS.find((candidate) => candidate === name) ?? 'launch'
  return { view, uid: uid ? decode(uid) : null }
}

function decode(part: string): string | null {
  try {
    return decodeURIComponent(part)
  } catch {
    return null // Typed by hand and malformed: the view without a model.
  }
}
