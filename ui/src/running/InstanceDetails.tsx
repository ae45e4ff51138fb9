import { Stack, Tabs } from '@mantine/core'

import type { Instance, Replica } from '../api/instances'
import { useI18n } from '../i18n'
import { Logs } from './Logs'
import { ReplicaTable } from './ReplicaTable'
import { ScaleForm } from './ScaleForm'
import { Snippets } from './Snippets'

interface Props {
  instance: Instance
  replicas: Replica[]
  speeds: Record<string, number>
}

export function InstanceDetails({ instance, replicas, speeds }: Props) {
  const { t } = useI18n()
  const uid = instance.model_uid
  return (
    <Tabs defaultValue="replicas" keepMounted={false}>
      <Tabs.List aria-label={t('running.details.uid', { uid })}>
        <Tabs.Tab value="replicas">{t('tab.replicas')}</Tabs.Tab>
        <Tabs.Tab value="logs">{t('tab.logs')}</Tabs.Tab>
        <Tabs.Tab value="code">{t('tab.code')}</Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="replicas" pt="sm">
        <Stack gap="sm">
          <ScaleForm instance={instance} />
          <ReplicaTable uid={uid} replicas={replicas} speeds={speeds} />
        </Stack>
      </Tabs.Panel>
      <Tabs.Panel value="logs" pt="sm">
        <Logs uid={uid} />
      </Tabs.Panel>
      <Tabs.Panel value="code" pt="sm">
        <Snippets instance={instance} />
      </Tabs.Panel>
    </Tabs>
  )
}
