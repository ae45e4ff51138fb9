import { Button, Loader, Text } from '@mantine/core'

import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'
import disclosure from './Disclosure.module.css'
import { TurnFacts } from './TurnFacts'
import type { Turn } from './turn'
import classes from './TurnView.module.css'

export function TurnView({ turn, onRetry }: { turn: Turn; onRetry: (() => void) | null }) {
  const { t } = useI18n()
  const waiting = turn.state === 'streaming' && !turn.answer
  return (
    <>
      <article className={classes.prompt} aria-label={t('chat.you')}>
        <div className={classes.text}>{turn.prompt}</div>
      </article>
      <article className={classes.answer} aria-label={turn.model}>
        <Text fz="xs" c="dimmed" ff="monospace">
          {turn.model}
        </Text>
        {turn.reasoning && (
          <details className={disclosure.disclosure}>
            <summary>{t('chat.thinking')}</summary>
            <Text component="div" c="dimmed" fz="sm" className={classes.text}>
              {turn.reasoning}
            </Text>
          </details>
        )}
        {waiting && <Loader type="dots" size="sm" role="img" aria-label={t('chat.waiting')} />}
        <div className={classes.text}>{turn.answer}</div>
        <TurnFacts turn={turn} />
        <ErrorAlert error={turn.error} />
        {turn.state === 'failed' && onRetry && (
          <Button variant="default" size="xs" mt="xs" onClick={onRetry}>
            {t('chat.retry')}
          </Button>
        )}
      </article>
    </>
  )
}
