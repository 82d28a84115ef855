{{/* Names, labels and the image. The context is this chart's own, or `.Subcharts.poolexporter` of the parent chart. */}}

{{- define "poolexporter.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "poolexporter.fullname" -}}
{{- $name := include "poolexporter.name" . -}}
{{- $default := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{ .Values.fullnameOverride | default $default | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "poolexporter.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
  "app.kubernetes.io/name" (include "poolexporter.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $own .Values.commonLabels | toYaml }}
{{- end }}

{{/* Labels that select the pods of the standalone Deployment. */}}
{{- define "poolexporter.standaloneLabels" -}}
app.kubernetes.io/name: {{ include "poolexporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: standalone
{{- end }}

{{/* Labels that select the pods with an exporter. */}}
{{- define "poolexporter.selector" -}}
{{- if and .Values.selector .Values.standalone.enabled }}
{{- fail "selector is for an application's pods, but standalone.enabled has no application: remove one of them" }}
{{- end }}
{{- .Values.selector | default (dict "app.kubernetes.io/instance" .Release.Name) | toYaml }}
{{- end }}

{{/*
The same for resources that cannot select pods by a port's name. The instance label alone would also match other pods of the
release, such as a database. The context is a dict of `chart` and `key`, the value that needs the selector.
*/}}
{{- define "poolexporter.exactSelector" -}}
{{- if .chart.Values.standalone.enabled }}
{{- include "poolexporter.standaloneLabels" .chart }}
{{- else if .chart.Values.selector }}
{{- include "poolexporter.selector" .chart }}
{{- else }}
{{- fail (printf "%s needs selector: labels that the pods with an exporter have, and no other pods of the release" .key) }}
{{- end }}
{{- end }}

{{- define "poolexporter.image" -}}
{{- $name := list .Values.image.registry .Values.image.repository | compact | join "/" -}}
{{- if .Values.image.digest -}}
{{ $name }}@{{ .Values.image.digest }}
{{- else -}}
{{ $name }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/*
True for a separate release with only rules and dashboards, which has no exporter. Never true as a dependency, because
the parent chart may contain our lines.
*/}}
{{- define "poolexporter.isForTheCluster" -}}
{{- if and .Chart.IsRoot (or .Values.prometheusRule.enabled .Values.dashboards.enabled) }}
{{- if not (or .Values.standalone.enabled .Values.config .Values.existingSecrets .Values.secrets .Values.podMonitor.enabled .Values.serviceMonitor.enabled .Values.extraManifests) -}}
true
{{- end }}
{{- end }}
{{- end }}

{{- define "poolexporter.isNative" -}}
{{- $native := toString .Values.sidecar.native -}}
{{- if or (eq $native "true") (and (eq $native "auto") (semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version)) -}}
true
{{- end }}
{{- end }}
