import { Text } from '@mantine/core'
import { useLayoutEffect, useRef } from 'react'

import { useI18n } from '../i18n'
import classes from './Conversation.module.css'
import type { Turn } from './turn'
import { TurnView } from './TurnView'

// How near to its end, in pixels, a conversation follows what is added.
const FOLLOW_DISTANCE = 48

interface Props {
  turns: Turn[]
  /** Shown while nothing has been said. */
  hint: string
  /** Sends the last message again; null where no model could answer. */
  onRetry: (() => void) | null
}

export function Conversation({ turns, hint, onRetry }: Props) {
  const { t } = useI18n()
  const box = useRef<HTMLDivElement>(null)
  const following = useRef(true)

  useLayoutEffect(() => {
    const element = box.current
    if (element && following.current) element.scrollTop = element.scrollHeight
  }, [turns])

  return (
    <div
      ref={box}
      className={classes.box}
      role="log"
      aria-label={t('chat.log')}
      aria-busy={turns.at(-1)?.state === 'streaming'}
      tabIndex={0}
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
        following.current = scrollHeight - scrollTop - clientHeight < FOLLOW_DISTANCE
      }}
    >
      {turns.length === 0 && (
        <Text c="dimmed" ta="center" my="auto">
          {hint}
        </Text>
      )}
      {turns.map((turn, index) => (
        <TurnView key={turn.id} turn={turn} onRetry={index === turns.length - 1 ? onRetry : null} />
      ))}
    </div>
  )
}
