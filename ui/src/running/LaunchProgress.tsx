import { Group, Progress, Text } from '@mantine/core'

import { useProgress } from '../api/queries'
import { useI18n } from '../i18n'
import { en } from '../i18n/en'
import type { MessageKey } from '../i18n/en'
import { ErrorAlert } from '../shell/ErrorAlert'

export function LaunchProgress({ uid }: { uid: string }) {
  const { t } = useI18n()
  const { data, error } = useProgress(uid)
  if (!data) return <ErrorAlert error={error} />
  const percent = Math.round(data.progress * 100)
  const key = `stage.${data.stage}`
  return (
    <div>
      <Group justify="space-between" mb={4}>
        <Text fz="sm">{isMessageKey(key) ? t(key) : data.stage}</Text>
        <Text fz="sm" c="dimmed">
          {percent}%
        </Text>
      </Group>
      <Progress value={percent} aria-label={t('running.progress', { uid })} animated />
    </div>
  )
}

function isMessageKey(key: string): key is MessageKey {
  return key in en
}
