const STORAGE_KEY = 'xinfer.api-key'

interface State {
  key: string
  /** The server answered 401 to this key (or to none). */
  refused: boolean
}

let state: State = { key: localStorage.getItem(STORAGE_KEY) ?? '', refused: false }
const listeners = new Set<() => void>()

function change(next: State) {
  state = next
  for (const listener of listeners) listener()
}

/** The caller's API key, kept in this browser; shaped for `useSyncExternalStore`. */
export const apiKey = {
  get: (): State => state,
  subscribe(listener: () => void): () => void {
    listeners.add(listener)
    return () => listeners.delete(listener)
  },
  save(key: string) {
    if (key) localStorage.setItem(STORAGE_KEY, key)
    else localStorage.removeItem(STORAGE_KEY)
    change({ key, refused: false })
  },
  /** Marks `key` as refused, unless it was replaced while the request was under way. */
  refuse(key: string) {
    if (key === state.key && !state.refused) change({ key, refused: true })
  },
}
