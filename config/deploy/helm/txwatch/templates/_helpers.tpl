{{/* What selects the pods of this release. */}}
{{- define "txwatch.selector" -}}
app.kubernetes.io/name: txwatch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What every object is labelled with. */}}
{{- define "txwatch.labels" -}}
{{ include "txwatch.selector" . }}
app.kubernetes.io/part-of: txwatch
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}
