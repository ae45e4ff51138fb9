import { Button, Group, Textarea } from '@mantine/core'
import { useState } from 'react'
import type { KeyboardEvent } from 'react'

import { useI18n } from '../i18n'

interface Props {
  streaming: boolean
  onSend: (prompt: string) => void
  onStop: () => void
}

export function Composer({ streaming, onSend, onStop }: Props) {
  const { t } = useI18n()
  const [draft, setDraft] = useState('')

  function send() {
    if (streaming || !draft.trim()) return
    onSend(draft)
    setDraft('')
  }

  function onKeyDown(event: KeyboardEvent) {
    // While an input method composes, Enter picks a character.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    send()
  }

  return (
    <Group
      component="form"
      align="flex-end"
      wrap="nowrap"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
    >
      <Textarea
        aria-label={t('chat.message')}
        placeholder={t('chat.message.placeholder')}
        value={draft}
        onChange={(event) => setDraft(event.currentTarget.value)}
        onKeyDown={onKeyDown}
        autosize
        minRows={1}
        maxRows={8}
        flex={1}
      />
      {streaming ? (
        <Button color="red" onClick={onStop}>
          {t('chat.stop')}
        </Button>
      ) : (
        <Button type="submit">{t('chat.send')}</Button>
      )}
    </Group>
  )
}
