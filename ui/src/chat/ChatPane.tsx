import { useEffect } from 'react'
import type { ReactNode } from 'react'

import type { Instance } from '../api/instances'
import { useI18n } from '../i18n'
import { RequestView } from '../playground/RequestView'
import { Composer } from './Composer'
import { Conversation } from './Conversation'
import { SettingsPanel } from './SettingsPanel'
import { ToolResults } from './ToolResults'
import { loadMarkdown } from './TurnView'
import type { Chat } from './useChat'

interface Props {
  /** Null where the model that was talked to is not ready: the conversation stays. */
  instance: Instance | null
  chat: Chat
}

export function ChatPane({ instance, chat }: Props): ReactNode {
  const { t } = useI18n()
  useEffect(() => void loadMarkdown(), [])
  const model = instance?.model_uid
  const abilities = instance?.model_ability ?? []
  const last = chat.turns.at(-1)
  const called = last?.state === 'done' && last.calls.length > 0 ? last.calls : null
  return (
    <>
      {model && (
        <div>
          <SettingsPanel settings={chat.settings} abilities={abilities} onChange={chat.change} />
          <RequestView request={{ path: 'chat/completions', body: chat.request(model) }} />
        </div>
      )}
      <Conversation
        turns={chat.turns}
        hint={model ? t('chat.hello', { uid: model }) : ''}
        onRetry={model ? () => chat.retry(model) : null}
      />
      {model && called && (
        <ToolResults calls={called} onSend={(input) => chat.send(model, input)} />
      )}
      {(model || chat.streaming) && (
        <Composer
          streaming={chat.streaming}
          seesPictures={abilities.includes('vision')}
          onSend={(input) => model && chat.send(model, input)}
          onStop={chat.stop}
        />
      )}
    </>
  )
}
