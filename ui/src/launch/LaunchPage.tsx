import { Anchor, Skeleton, Stack, Tabs } from '@mantine/core'
import { useMemo, useState } from 'react'

import type { CatalogueModel } from '../api/catalogue'
import { useCatalogue } from '../api/queries'
import { useI18n } from '../i18n'
import { go, routeTo } from '../route'
import { ErrorAlert } from '../shell/ErrorAlert'
import { PageTitle } from '../shell/PageTitle'
import { Catalogue } from './Catalogue'
import { LaunchDrawer } from './LaunchDrawer'
import { ModelBox } from './ModelBox'
import { modelsOf, TABS } from './selection'
import type { Tab } from './selection'

/** `model` is the one that the address names, if any: it is being configured. */
export function LaunchPage({ model }: { model: string | null }) {
  const { t } = useI18n()
  const catalogue = useCatalogue()
  const [tab, setTab] = useState<Tab>('LLM')
  const shown = useMemo(() => modelsOf(tab, catalogue.data ?? []), [tab, catalogue.data])

  return (
    <Stack gap="md">
      <PageTitle>{t('launch.title')}</PageTitle>
      <ModelBox onSubmit={(name) => go('launch', name)} />
      <ErrorAlert error={catalogue.error} />
      <Tabs value={tab} onChange={(value) => setTab(value as Tab)} keepMounted={false}>
        <Tabs.List aria-label={t('launch.types')}>
          {TABS.map((one) => (
            <Tabs.Tab key={one} value={one}>
              {t(`type.${one}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {TABS.map((one) => (
          <Tabs.Panel key={one} value={one} pt="md">
            {catalogue.isLoading && <Skeleton h={160} aria-label={t('loading')} />}
            {catalogue.data && (
              <Catalogue
                models={shown}
                empty={one === 'custom' && shown.length === 0 ? <NoneOfYours /> : t('catalogue.none')}
                onChoose={({ model_name }: CatalogueModel) => go('launch', model_name)}
              />
            )}
          </Tabs.Panel>
        ))}
      </Tabs>
      <LaunchDrawer
        model={model}
        description={catalogue.data?.find((one) => one.model_name === model)?.model_description}
        onClose={() => go('launch')}
      />
    </Stack>
  )
}

function NoneOfYours() {
  const { t } = useI18n()
  return (
    <>
      {t('catalogue.none.custom')} <Anchor href={routeTo('register')}>{t('catalogue.register')}</Anchor>
    </>
  )
}
