import { Anchor, Paper, Skeleton, Stack, Text } from '@mantine/core'

import { useInstances } from '../api/queries'
import { useI18n } from '../i18n'
import { routeTo } from '../route'
import { ErrorAlert } from '../shell/ErrorAlert'
import { PageTitle } from '../shell/PageTitle'
import { InstanceCard } from './InstanceCard'

export function RunningPage() {
  const { t } = useI18n()
  const instances = useInstances()
  return (
    <Stack gap="md">
      <PageTitle>{t('running.title')}</PageTitle>
      <ErrorAlert error={instances.error} />
      {instances.isLoading && <Skeleton h={120} aria-label={t('loading')} />}
      {instances.data?.length === 0 && (
        <Paper withBorder p="xl" ta="center">
          <Text c="dimmed" mb="xs">
            {t('running.empty')}
          </Text>
          <Anchor href={routeTo('launch')}>{t('running.empty.action')}</Anchor>
        </Paper>
      )}
      {instances.data?.map((instance) => (
        <InstanceCard key={instance.model_uid} instance={instance} />
      ))}
    </Stack>
  )
}
