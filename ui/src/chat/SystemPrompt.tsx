import { Textarea } from '@mantine/core'

import { useI18n } from '../i18n'
import classes from './Disclosure.module.css'

interface Props {
  value: string
  onChange: (value: string) => void
}

export function SystemPrompt({ value, onChange }: Props) {
  const { t } = useI18n()
  return (
    <details className={classes.disclosure}>
      <summary>{t('chat.system')}</summary>
      <Textarea
        aria-label={t('chat.system')}
        description={t('chat.system.help')}
        value={value}
        onChange={(event) => onChange(event.currentTarget.value)}
        autosize
        minRows={2}
        maxRows={6}
      />
    </details>
  )
}
