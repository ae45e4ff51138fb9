import { Group, Text } from '@mantine/core'

import { useLogs } from '../api/queries'
import { useI18n } from '../i18n'
import { CopyButton } from '../shell/CopyButton'
import { ErrorAlert } from '../shell/ErrorAlert'
import classes from './Logs.module.css'

export function Logs({ uid }: { uid: string }) {
  const { t } = useI18n()
  const { data, error } = useLogs(uid)
  return (
    <>
      <ErrorAlert error={error} />
      {data?.map(({ replica_id, lines }) => {
        const title = t('logs.title', { id: replica_id })
        const text = lines.join('\n')
        return (
          <section key={replica_id}>
            <Group justify="space-between">
              <Text fz="sm" c="dimmed">
                {title}
              </Text>
              {text && <CopyButton text={text} label={t('logs.copy', { id: replica_id })} />}
            </Group>
            <pre className={classes.lines} tabIndex={0} role="group" aria-label={title}>
              {text || t('logs.none')}
            </pre>
          </section>
        )
      })}
    </>
  )
}
