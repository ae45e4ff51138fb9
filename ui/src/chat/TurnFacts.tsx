import { Text } from '@mantine/core'

import { useI18n } from '../i18n'
import { tokensPerSecond } from './turn'
import type { Turn } from './turn'

/** One line below an answer: how it ended, its length and its speed. */
export function TurnFacts({ turn }: { turn: Turn }) {
  const { t } = useI18n()
  const speed = tokensPerSecond(turn)
  const facts = [
    turn.state === 'stopped' && t('chat.stopped'),
    turn.finishReason === 'length' && t('chat.length'),
    turn.usage && t('chat.tokens', { count: turn.usage.completion_tokens }),
    speed !== null && t('chat.speed', { speed: speed.toFixed(1) }),
    turn.usage &&
      turn.firstTokenMs !== null &&
      t('chat.first', { seconds: (turn.firstTokenMs / 1000).toFixed(2) }),
  ].filter(Boolean)
  if (facts.length === 0) return null
  return (
    <Text fz="xs" c="dimmed">
      {facts.join(' · ')}
    </Text>
  )
}
