import { del, get, set } from 'idb-keyval'

import { DEFAULTS } from './settings'
import type { ChatSettings } from './settings'
import type { Turn } from './turn'

const KEY = 'xinfer.chat'

/** What is kept of a conversation over a reload of the page, pictures included. */
export interface Kept {
  turns: Turn[]
  settings: ChatSettings
}

export async function loadChat(): Promise<Kept> {
  const kept = await get<Kept>(KEY)
  return {
    settings: { ...DEFAULTS, ...kept?.settings },
    // An answer that was still coming when the page went ends where it was.
    turns: (kept?.turns ?? []).map((turn) =>
      turn.state === 'streaming' ? { ...turn, state: 'stopped' } : turn,
    ),
  }
}

export function saveChat(kept: Kept): Promise<void> {
  const nothing = kept.turns.length === 0 && kept.settings === DEFAULTS
  return nothing ? del(KEY) : set(KEY, kept)
}
